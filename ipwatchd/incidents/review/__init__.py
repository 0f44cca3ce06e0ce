"""Looking back: how incidents went, how long each step took, which detectors were wrong."""

from ipwatchd.incidents.review.course import Course, course_of
from ipwatchd.incidents.review.trends import Trends, trends

__all__ = ["Course", "Trends", "course_of", "trends"]
