result = client.create(
    messages=[{"role": "user", "content": "your prompt"}],
    response_model=YourModel
)
