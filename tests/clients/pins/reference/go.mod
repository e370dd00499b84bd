module pins

go 1.26.3

require github.com/containernetworking/plugins v1.9.1
