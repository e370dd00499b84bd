module pins

go 1.26.3

require github.com/containernetworking/cni v1.3.0
