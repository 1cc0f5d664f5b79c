# The study in a container:   docker build -t paperlib . && docker run --rm -v "$PWD/out:/home/reader/out" paperlib
# With JupyterLab:            docker run --rm -p 8888:8888 paperlib make lab LAB="--ip=0.0.0.0 --no-browser"
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install -y --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home reader
USER reader
WORKDIR /home/reader/study
COPY --chown=reader . .

# Packages and assets belong to the image, so that a run needs no network. A package index with a CPU build of torch keeps
# it small: --build-arg PIP_EXTRA_INDEX_URL=...
ARG PIP_EXTRA_INDEX_URL=
RUN make install assets

CMD ["sh", "-c", "make figures && mkdir -p ../out && cp -r figures results runs ../out/"]
