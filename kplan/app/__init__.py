"""The use cases under the commands and the library, and the one place where servers, state and logs are opened."""
