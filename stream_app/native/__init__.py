"""What is written in C++ for speed, module by module; whoever uses one has a form in Python beside it.

``_records``: Kafka's record batches as columns. ``_rows``: bodies of JSON and float32 as columns.
``_panes``: columns of panes, and evidence of them. ``_points``: points as texts.
"""
