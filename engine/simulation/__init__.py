"""A model of AWS Lambda: small objects whose parameters lie in `config/lambda_model.toml`; only `recordings` reads files."""
