"""What `gan.evaluate` scores and scores against, beside runs and their own datasets."""
