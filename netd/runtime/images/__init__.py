"""Images: pulled by skopeo, loaded from archives, unpacked by umoci."""
