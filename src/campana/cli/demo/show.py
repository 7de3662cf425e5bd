"""From a server that is starting to the verdict, and on with `--keep`."""

import threading
from contextlib import ExitStack
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError
from websockets.exceptions import WebSocketException

from campana.cli.demo import PROCESSOR, Stopped, child, story
from campana.cli.demo.cases import MODERATION, expected
from campana.cli.demo.child import ChildServer, Trouble
from campana.cli.demo.story import World
from campana.cli.demo.view import View
from campana.clock import Clock, Ids, SystemClock
from campana.server import data_folder

NEXT = (
    ("campana demo --keep", "leaves the server running, for the AWS CLI and messages of your own"),
    ("campana serve", "a server that stays; its --help and docs/ tell how to give it your processors"),
    ("moderator.py", f"the Lambda function you saw: {PROCESSOR}"),
)

ID_CHARACTERS = 32  # and more: words of that length in a function's output are ids, of which nobody wants to read many


def run(server: ChildServer, folder: Path, stack: ExitStack, *, keep: bool) -> int:
    """The exit code. What is opened ends with `stack`, before the server."""
    clock = SystemClock()
    begun = clock.now()
    view = View()
    view.title()
    try:
        world = _opened(server, folder, view, stack)
        if not _played(world, clock, view):
            view.log(server.tail)
            return 1
        view.line(f"All five went as the specification says, in {(clock.now() - begun) / 1000:.1f} s.", "bold")
        if keep:
            return _kept(world, folder, view)
    except Trouble as trouble:
        return _failed(server, view, trouble)
    except ClientError as error:
        return _failed(server, view, Trouble(f"{error.operation_name} to succeed", str(error)))
    except BrokenPipeError:
        raise  # nobody reads what is shown
    except (BotoCoreError, WebSocketException, OSError) as error:
        return _failed(server, view, Trouble("the server to be there", f"{type(error).__name__}: {error}"))
    view.line()
    for what, how in NEXT:
        view.fact(what, how, width=19)
    view.line()
    return 0


def _opened(server: ChildServer, folder: Path, view: View, stack: ExitStack) -> World:
    url = server.url()
    view.fact("server", f"{url}, with SQLite in {folder}")
    key = data_folder.find_root_credentials(server.data_dir, {})
    assert key is not None  # made before it listens
    return story.opened(server, url, key, Ids(), view, stack)


def _played(world: World, clock: Clock, view: View) -> bool:
    """Whether all messages went as expected."""
    cases = [(case, expected(case), happened) for case, happened in story.told(world, clock, view)]
    view.verdicts(cases)
    other = [each for each in cases if each[1] != each[2]]
    for each in other:
        view.differs(*each)
    return not other


def _failed(server: ChildServer, view: View, trouble: Trouble) -> int:
    view.line()
    view.line("✗ The demo stopped here.", "bold magenta")
    view.trouble(trouble.expected, trouble.came)
    view.log(server.tail)
    return 1


def _kept(world: World, folder: Path, view: View) -> int:
    """Show what happens until a signal comes; raises Trouble if the server ends before."""
    try:
        story.use(world, MODERATION)
        view.line()
        view.line("The server goes on, with the flow “moderation”. In another terminal:", "bold")
        view.line()
        view.commands(commands(world, folder))
        view.line()
        view.line("What Ann and Bob hear is shown here. Ctrl-C ends the server and removes the folder.", "bold")
        view.heading()
        for show in (_show_ann, _show_bob, _show_processor):
            threading.Thread(target=show, args=(world, view), daemon=True).start()
        code = world.server.wait()
    except Stopped:
        view.line()
        view.line("Stopping; nothing will be left.")
        return 0
    raise Trouble("a server that goes on until it is stopped", f"its end, with exit code {code}")


def _show_ann(world: World, view: View) -> None:
    for heard in world.ann:
        view.ann_hears(heard)


def _show_bob(world: World, view: View) -> None:
    for heard in world.bob:
        view.bob_hears(heard)


def _show_processor(world: World, view: View) -> None:
    while True:
        line = world.server.any_line()
        match line.event:
            case child.FUNCTION_OUTPUT:
                said = " ".join(word for word in str(line.values["text"]).split() if len(word) < ID_CHARACTERS)
                view.processor_says(f"moderate: {said}")
            case child.FUNCTION_FAILED:
                view.processor_says(f"moderate failed: {line.values['reason']}")


def commands(world: World, folder: Path) -> str:
    """Lines for a shell, with what was really made."""
    return f"""\
export AWS_ENDPOINT_URL={world.url}
export AWS_ACCESS_KEY_ID={world.key.access_key_id}
export AWS_SECRET_ACCESS_KEY={world.key.secret_access_key}
export AWS_REGION={story.REGION} AWS_DEFAULT_REGION={story.REGION} AWS_PAGER=
unset AWS_PROFILE AWS_SESSION_TOKEN

APP={world.app_instance_arn}
CHANNEL={world.channel_arn}
ANN={world.ann_arn}
BOB={world.bob_arn}

# Ann sends a message
aws chime-sdk-messaging send-channel-message --channel-arn "$CHANNEL" --chime-bearer "$ANN" \\
    --type STANDARD --persistence PERSISTENT --content 'My card: 4111 1111 1111 1111'

# Bob reads the channel
aws chime-sdk-messaging list-channel-messages --channel-arn "$CHANNEL" --chime-bearer "$BOB"

# the channel flows, and the users
aws chime-sdk-messaging list-channel-flows --app-instance-arn "$APP"
aws chime-sdk-identity list-app-instance-users --app-instance-arn "$APP"

# the processor: edit it, and send again
${{EDITOR:-vi}} {folder}/functions/moderator.py"""
