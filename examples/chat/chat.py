"""One chat room: whoever is connected sees what anyone says."""

import json
from collections import deque
from pathlib import Path

from starlette.applications import Starlette
from starlette.responses import FileResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

HERE = Path(__file__).parent
LONGEST = 500

people = set()
said = deque(maxlen=50)


async def page(request):
    return FileResponse(HERE / "static" / "index.html")


async def room(socket: WebSocket):
    await socket.accept()
    people.add(socket)
    try:
        await socket.send_json({"said": list(said)})
        await tell_everyone({"here": len(people)})
        while True:
            message = parse(await socket.receive_text())
            if message is not None:
                said.append(message)
                await tell_everyone({"said": [message]})
    except WebSocketDisconnect:
        pass
    finally:
        people.discard(socket)
        await tell_everyone({"here": len(people)})


async def tell_everyone(news):
    for person in list(people):
        try:
            await person.send_json(news)
        except (RuntimeError, WebSocketDisconnect):
            # Gone in the meantime; the room notices in its own turn.
            people.discard(person)


def parse(text):
    """A message as others may see it, or `None`: anyone can send anything."""
    try:
        message = json.loads(text)
        name = str(message["name"]).strip()[:30]
        words = str(message["text"]).strip()[:LONGEST]
    except (ValueError, KeyError, TypeError):
        return None
    return {"name": name or "somebody", "text": words} if words else None


app = Starlette(
    routes=[
        Route("/", page),
        WebSocketRoute("/room", room),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]
)
