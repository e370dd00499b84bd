"""What a container sees of networks: modes, endpoints, published ports, names, generated files."""
