"""Published ports: the grammar, held host ports, NAT, and the proxy for what NAT does not take."""
