"""Engine: from a request and what is known of the user to ranked items with reasons."""
