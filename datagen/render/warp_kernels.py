"""Kernels of the renderer ``warp``; importing this module requires Warp."""

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.kernel
def resolve(
    packed: wp.array2d(dtype=wp.uint32),
    first: wp.array(dtype=int),
    rays: int,
    sizes: wp.array(dtype=wp.vec2i),
    stride: int,
    images: wp.array4d(dtype=wp.uint8),
):
    """Average squares of ``rays`` x ``rays`` pixels 0xAARRGGBB into (N, C, H * stride, 3), rounded to nearest.

    Camera c's images are ``sizes[c]`` wide and high; the rest, on the right and below, is black.
    """
    world, camera, row, column = wp.tid()
    pixel = row * stride + column
    size = sizes[camera]
    if column >= size[0] or row >= size[1]:
        for channel in range(3):
            images[world, camera, pixel, channel] = wp.uint8(0)
        return
    total = wp.vec3i()
    for down in range(rays):
        start = first[camera] + ((row * rays + down) * size[0] + column) * rays
        for right in range(rays):
            value = packed[world, start + right]
            total += wp.vec3i(
                int((value >> wp.uint32(16)) & wp.uint32(255)),
                int((value >> wp.uint32(8)) & wp.uint32(255)),
                int(value & wp.uint32(255)),
            )
    count = rays * rays
    for channel in range(3):
        mean = (total[channel] + count // 2) // count
        images[world, camera, pixel, channel] = wp.uint8(mean)
