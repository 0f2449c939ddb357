"""A model of AWS Lambda: objects whose parameters lie in `config/lambda_model.toml`; `recordings/` alone reads files."""
