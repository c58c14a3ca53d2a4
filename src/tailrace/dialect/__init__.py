"""What a source and a sink of one product share: how to connect, and what its errors mean. One folder a product; knows
neither a source nor a sink.
"""
