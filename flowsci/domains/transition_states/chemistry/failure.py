"""Why a calculation gave no result: a name that is counted, never a silent gap."""


class Failure(Exception):
    """A calculation that ended without its result.

    `cause` is a short name for counting, such as `scf_not_converged`; `detail` says more; `steps`
    counts the steps of a search before it ended.
    """

    def __init__(self, cause: str, detail: str = "", steps: int | None = None) -> None:
        super().__init__(f"{cause}: {detail}" if detail else cause)
        self.cause = cause
        self.detail = detail
        self.steps = steps
