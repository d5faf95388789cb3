"""Pictures and widgets over model, probe and measure."""

from dockernb.view.isolation import IsolationModel
from dockernb.view.look import look
from dockernb.view.matrix import matrix_picture
from dockernb.view.panel import IsolationPanel
from dockernb.view.path import path
from dockernb.view.picture import Picture
from dockernb.view.topology import topology

__all__ = ["IsolationModel", "IsolationPanel", "Picture", "look", "matrix_picture", "path", "topology"]
