"""A batch on its way over some SMTP connections, in rounds: each connection hands over the text of the mail that it
offered and offers its next one; what was taken is noted before the next round.
"""

from __future__ import annotations

import smtplib
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from typing import Final

from services.mailer.mime import written
from services.mailer.provider import Accepted, Halted, Mail, Mails, Outcome, Retry, Taken
from services.mailer.smtp_line import CLOSING, Line, Reply

# When so many are put off and nobody is taken it is the server's trouble, not the recipients'.
MANY: Final = 10
TROUBLE: Final = (OSError, smtplib.SMTPException)

ReturnPath = Callable[[Mail], str]
"""Where the bounces of a mail go."""


class Exchange:
    """`lines` loses those that broke. Every mail ends as taken, refused, or to be tried again."""

    def __init__(self, mails: Mails, lines: list[Line], taken: Taken, return_path: ReturnPath) -> None:
        self._mails = mails
        self._lines = lines
        self._taken = taken
        self._return_path = return_path
        self._date = formatdate(usegmt=True)
        self._texts: dict[bool, list[bytes]] = {}
        self.waiting: deque[int] = deque()
        self._offered: dict[Line, int] = {}
        self._ids: dict[int, str] = {}
        self.refused: dict[int, str] = {}
        self._again: dict[int, str | None] = {}
        self.why = ""
        self.halted = ""
        self._stopped = False
        self._personal = 0  # refused for now as this recipient's

    def run(self) -> None:
        """Until all is said, no connection is left, or it is not to go on."""
        for line in list(self._lines):
            self._offer(line)
        while self._offered:
            going = self._answers()
            following = self._hand_over(going)
            accepted = self._verdicts(going, following)
            if accepted and not self._taken(accepted):
                self._stop()

    def outcome(self) -> Outcome:
        """Of the whole batch."""
        for n in self.waiting:
            self._again[n] = None
        if not self._ids and not self.refused:
            if self.halted:
                return Halted(self.halted)
            if not self._stopped and (not self._personal or self._personal >= MANY):
                # Whether a text was taken before its line was cut, no second call can tell: it goes again.
                return Retry(self.why, in_doubt=False)
        return Accepted(self._ids, self.refused, self._again)

    def _offer(self, line: Line) -> None:
        if not self.waiting or self.halted:
            return
        n = self.waiting.popleft()
        try:
            line.offer(*self._envelope(n))
        except TROUBLE as error:
            self._lost(line, error, unsent=n)
        else:
            self._offered[line] = n

    def _answers(self) -> dict[Line, int]:
        """Which mails' texts may come."""
        going: dict[Line, int] = {}
        for line, n in list(self._offered.items()):
            del self._offered[line]
            try:
                reply = line.answer()
            except TROUBLE as error:
                self._lost(line, error, unsent=n)
                continue
            if reply.good:
                going[line] = n
            else:
                self._turned_down(n, reply)
                self._next(line, reply)
        return going

    def _hand_over(self, going: dict[Line, int]) -> dict[Line, int]:
        """Send the texts; which mails were offered in the same write."""
        following: dict[Line, int] = {}
        for line, n in list(going.items()):
            try:
                text = self._text(n, line)
                if line.pipelining and self.waiting and not self.halted:
                    following[line] = self.waiting.popleft()
                    line.offer(*self._envelope(following[line]), before=text)
                else:
                    line.send(text)
            except TROUBLE as error:
                del going[line]
                self._lost(line, error, unsent=following.pop(line, None), doubtful=n)
        return following

    def _verdicts(self, going: dict[Line, int], following: dict[Line, int]) -> list[int]:
        """What became of the texts; which were taken."""
        accepted = []
        for line, n in going.items():
            try:
                reply = line.verdict()
            except TROUBLE as error:
                self._lost(line, error, unsent=following.pop(line, None), doubtful=n)
                continue
            if reply.good:
                self._ids[n] = reply.text[:200]
                accepted.append(n)
            else:
                self._turned_down(n, reply)
            if line in following:
                self._offered[line] = following[line]
            else:
                self._next(line, reply)
        return accepted

    def _next(self, line: Line, reply: Reply) -> None:
        if reply.code == CLOSING or self.halted:
            self._drop(line)
        else:
            self._offer(line)

    def _stop(self) -> None:
        """What is offered is not handed over any more, which leaves its line of no more use."""
        self._stopped = True
        for line, n in self._offered.items():
            self.waiting.append(n)
            self._drop(line)
        self._offered.clear()

    def _turned_down(self, n: int, reply: Reply) -> None:
        """For good or for now. A sender that is refused for one mail is refused for all."""
        if reply.is_final and reply.to != "MAIL":
            self.refused[n] = str(reply)
            return
        self.why = str(reply)
        self._again[n] = str(reply)
        self._personal += reply.to != "MAIL" and reply.code != CLOSING
        if reply.is_final:
            self.halted = str(reply)

    def _lost(self, line: Line, error: Exception, unsent: int | None, doubtful: int | None = None) -> None:
        self.why = f"{type(error).__name__}: {error}"
        if unsent is not None:
            self.waiting.append(unsent)
        if doubtful is not None:
            self._again[doubtful] = f"The line was cut before the answer: {self.why}"
        self._drop(line)

    def _drop(self, line: Line) -> None:
        self._lines.remove(line)
        line.close()

    def _envelope(self, n: int) -> tuple[str, str]:
        mail = self._mails[n]
        return self._return_path(mail), mail.to

    def _text(self, n: int, line: Line) -> bytes:
        texts = self._texts.get(line.eight_bit)
        if texts is None:
            texts = self._texts[line.eight_bit] = written(self._mails, self._date, eight_bit=line.eight_bit)
        return texts[n]
