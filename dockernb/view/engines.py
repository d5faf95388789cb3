"""What is different on a learner's own engine, as a table."""

from html import escape

from dockernb.arguments import NONE, TEXT, checked
from dockernb.course import engines
from dockernb.errors import CourseError
from dockernb.view.picture import FONT, INK, LINE, Picture


@checked(CourseError, version=TEXT, lesson=TEXT | NONE)
def your_engine(version: str, lesson: str | None = None) -> Picture:
    """Show what another version of Docker does differently from what the lessons show.

    Args:
        version: Of your own engine, for example "29.1", as `docker version` says it.
            `lab.docker.version()["Version"]` is that of the lab host.
        lesson: A lesson's number or name, to see its rows only; None for all lessons.

    Returns:
        A table: lesson, subject, what the lesson shows on Docker 28.5, what yours does. Where the version is none that
        the course knows, one sentence.

    Raises:
        CourseError: There is no such lesson.

    Example:
        >>> dn.your_engine("26.1", lesson="05")
    """
    wanted = engines.DIFFERENCES if lesson is None else engines.of_lesson(lesson)
    try:
        yours = engines.version_of(version)
    except CourseError as problem:
        return Picture(html=_paragraph(str(problem)), text=str(problem))
    rows = [(one, does) for one in wanted if (does := engines.theirs(one, yours))]
    shown = version.strip().removeprefix("v")
    where = "the lessons" if lesson is None else f"lesson {lesson[:2]}"
    if not rows:
        sentence = (
            f"Docker {shown} does what {where} {'show' if lesson is None else 'shows'}, as far as we know."
        )
        return Picture(html=_paragraph(sentence), text=sentence)
    title = f"What differs from {where} (Docker {engines.HERE}) on Docker {shown}"
    text = [title]
    for one, does in rows:
        text += [f"  {one.lesson}  {one.subject}", f"        here:  {one.here}", f"        yours: {does}"]
    cell = f"text-align:left;vertical-align:top;padding:3px 10px 3px 0;border-bottom:1px solid {LINE}"
    head = "".join(
        f'<th scope="col" style="{cell}">{name}</th>'
        for name in ("lesson", "subject", f"shown here, on {engines.HERE}", f"yours, {escape(shown)}")
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="{cell}">{_marked(part)}</td>' for part in (one.lesson, one.subject, one.here, does)
        )
        + "</tr>"
        for one, does in rows
    )
    html = (
        f'<table style="font:13px {FONT};color:{INK};border-collapse:collapse;width:100%">'
        f'<caption style="text-align:left;font-weight:600;padding-bottom:4px;color:{INK}">{escape(title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )
    return Picture(html=html, text="\n".join(text))


def _paragraph(sentence: str) -> str:
    return f'<p style="font:13px {FONT};color:{INK}">{_marked(sentence)}</p>'


def _marked(text: str) -> str:
    """With what stands between backticks as code."""
    parts = escape(text).split("`")
    code = '<code style="overflow-wrap:anywhere">{}</code>'  # names of settings are longer than a column
    return "".join(code.format(part) if number % 2 else part for number, part in enumerate(parts))
