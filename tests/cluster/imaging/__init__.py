"""Builds the project's images where no registry can be reached; `cluster.images` is the way in.

`catalogue`  which images there are, and the key that says when one has to be built again
`base`       the base image, made by debootstrap
`wheels`     the locked Python packages, downloaded by the host's pip
`buildah`, `docker`   the two programs that can build a Dockerfile
"""
