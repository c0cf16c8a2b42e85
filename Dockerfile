# lvistk in a container, built from wheels alone: no network is used by the build itself.
#
#   make wheels                                   # once, with network: fills wheels/ (Linux, the Python of PYTHON)
#   docker build --network none --tag lvistk:0.2.0 .
#   docker run --gpus all --shm-size 8g -v "$PWD:/work" lvistk:0.2.0 run pipelines/htc_r50.toml
#
# The base image must be there, and its Python the one that the wheels were made for.
ARG PYTHON=3.12
FROM python:${PYTHON}-slim
COPY wheels /wheels
# opencv-python wants libraries of a desktop; the headless build has the same functions without them.
RUN pip install --no-index --no-cache-dir --find-links /wheels "lvistk[timm,cluster]" \
 && pip install --no-index --no-cache-dir --find-links /wheels --force-reinstall --no-deps opencv-python-headless \
 && rm -r /wheels
WORKDIR /work
ENTRYPOINT ["lvistk"]
