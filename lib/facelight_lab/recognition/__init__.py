"""Who is it: detection, methods and networks under the same protocols."""
