# The command line with all that it needs, for CPUs and NVIDIA GPUs:
#
#   docker build -t dactyl-vision .
#   docker run --rm -v "$PWD:/data" -w /data dactyl-vision demo
#   docker run --rm --gpus all --ipc=host -v "$PWD:/data" -w /data dactyl-vision train --config dactyl:train/best ...
#
# The wheels of PyTorch bring CUDA; the machine needs NVIDIA's driver and container toolkit alone. Set-up is that of
# `make setup`, system libraries included.
FROM python:3.11-slim-bookworm

# Filament and EGL draw on the GPU only where the driver's graphics libraries are mounted too.
ENV NVIDIA_DRIVER_CAPABILITIES=all \
    PYTHONDONTWRITEBYTECODE=1 \
    PATH=/opt/dactyl-vision/.venv/bin:$PATH

WORKDIR /opt/dactyl-vision
COPY . .
RUN bash scripts/setup.sh && rm -rf /var/lib/apt/lists/* /root/.cache

ENTRYPOINT ["dactyl"]
CMD ["--help"]
