"""People in one room of the demo page, and their cases. Used by demo_nat.py."""

import demo_systems as systems


class Group:
    """People in one room, and their cases."""

    def __init__(self, report, arguments, scene):
        self.report, self.arguments, self.scene = report, arguments, scene

    def case(self, name, function):
        """Runs one case if its name contains --only."""
        name = f"{self.label}: {name}"
        if self.arguments.only in name and not self.report.run(name, function):
            print(self.scene.server.explain(), flush=True)

    def systems(self, path):
        """Runs the cases of the five systems over one path."""
        one, two, three = self.roles(path)
        self.case(f"one-way, two watchers, one late, {path}", lambda: systems.one_way(path, one, two, three))
        self.case(f"call of two {path}", lambda: systems.call_of_two(path, one, two))
        self.case(f"chat and a file of 1 MiB {path}", lambda: systems.chat_and_file(path, one, two, "test"))
        source = self.captured(path)
        self.case(f"candidates, capture and recording {path}", lambda: systems.capture(path, one, two, source))
        self.case(f"live page, two fans, one late, {path}", lambda: systems.live_page(path, one, two, three, "test"))
