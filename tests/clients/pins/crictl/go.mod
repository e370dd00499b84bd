module pins

go 1.26.3

require sigs.k8s.io/cri-tools v1.34.0
