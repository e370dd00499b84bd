"""The name server against dnsmasq and aardvark-dns, in one interleaved run."""
