"""Where are the landmarks of a face, in the light of the training and in other light?"""
