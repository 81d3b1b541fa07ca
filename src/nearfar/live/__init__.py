"""Looking while lifting: a camera's or a stream's newest frame, its people in 3D, and the page that shows them."""
