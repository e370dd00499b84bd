module pins

go 1.26.3

require github.com/containerd/nerdctl/v2 v2.3.5

replace github.com/containerd/nerdctl/mod/tigron => ./tigron
