"""What a recommender is: raw requests in, ranked items out, whatever the method."""
