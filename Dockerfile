# kplan as a command: docker run IMAGE plan STACK
FROM python:3.11-slim AS build
WORKDIR /src
COPY . .
RUN pip install --no-cache-dir --prefix=/installed ".[postgres,mysql,agent]"

FROM python:3.11-slim
COPY --from=build /installed /usr/local
RUN useradd --create-home kplan && install -d -o kplan /var/lib/kplan
USER kplan
WORKDIR /stacks
ENTRYPOINT ["kplan"]
CMD ["--help"]
