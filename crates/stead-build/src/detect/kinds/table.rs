//! What calling something of a library gives.

use super::Kind;

/// What `path()` gives, where `path` is a library's dotted name: `flask.Flask`.
pub(crate) fn constructed(path: &str) -> Option<Kind> {
    use Kind::{Asgi, Decoy, Holds, Own, Wsgi};
    let library = path.split('.').next().unwrap_or_default();
    let name = path.rsplit('.').next().unwrap_or_default();
    Some(match (library, name) {
        ("flask", "Flask") => Wsgi("Flask"),
        ("apiflask", "APIFlask")
        | ("flask_openapi3", "OpenAPI")
        | ("flask_api", "FlaskAPI")
        | ("eve", "Eve")
        | ("flask_unchained", "FlaskUnchained")
        | ("flask_appfactory", "appfactory") => Wsgi("Flask"),
        ("django", "get_wsgi_application") => Wsgi("Django"),
        ("django", "WSGIHandler") => Wsgi("Django"),
        ("django", "get_asgi_application") => Asgi("Django"),
        ("channels", "ProtocolTypeRouter" | "get_default_application") => Asgi("Django Channels"),
        ("configurations", "get_wsgi_application") => Wsgi("Django"),
        ("configurations", "get_asgi_application") => Asgi("Django"),
        ("dj_static", "Cling" | "MediaCling") => Wsgi("Django"),
        ("bottle", "Bottle" | "default_app" | "app" | "AppStack") => Wsgi("Bottle"),
        ("falcon", "App" | "API") if path.starts_with("falcon.asgi") => Asgi("Falcon"),
        ("falcon", "App" | "API") => Wsgi("Falcon"),
        ("pyramid", "Configurator") => Holds("Pyramid", "make_wsgi_app()"),
        ("Pyramid", "make_wsgi_app") => Wsgi("Pyramid"),
        ("pyramid", "get_app") => Wsgi("Pyramid"),
        ("paste", "loadapp") => Wsgi("Pyramid"),
        ("connexion", "AsyncApp") => Asgi("Connexion"),
        ("connexion", "App" | "FlaskApp") => Holds("Connexion", "app"),
        ("connexion", "AioHttpApp") => Own("Connexion on aiohttp"),
        ("dash", "Dash")
        | ("dash_extensions", "DashProxy" | "Dash" | "MultiplexerTransform")
        | ("jupyter_dash", "JupyterDash")
        | ("dash_enterprise", "Dash") => Holds("Dash", "server"),
        ("web", "application") => Holds("web.py", "wsgifunc()"),
        ("web", "wsgifunc") => Wsgi("web.py"),
        ("cherrypy", "Application" | "mount") => Wsgi("CherryPy"),
        ("webapp2", "WSGIApplication") => Wsgi("webapp2"),
        ("wheezy", "WSGIApplication") => Wsgi("wheezy.web"),
        ("morepath", "App") => Wsgi("Morepath"),
        ("nagare" | "trac", "dispatch_request") => Wsgi("WSGI"),
        ("pycnic", "WSGI") => Wsgi("Pycnic"),
        ("spyne", "WsgiApplication") => Wsgi("Spyne"),
        ("tg", "make_wsgi_app") => Wsgi("TurboGears"),
        ("wsgidav", "WsgiDAVApp") => Wsgi("WsgiDAV"),
        ("radicale", "application") => Wsgi("Radicale"),
        ("ariadne", "GraphQL") if path.contains("asgi") => Asgi("Ariadne"),
        ("ariadne", "GraphQL") => Wsgi("Ariadne"),
        ("strawberry", "GraphQL") => Asgi("Strawberry"),
        ("werkzeug", "DispatcherMiddleware") => Wsgi("WSGI"),
        ("fastapi", "FastAPI") => Asgi("FastAPI"),
        ("starlette", "Starlette") => Asgi("Starlette"),
        ("litestar", "Litestar") => Asgi("Litestar"),
        ("starlite", "Starlite") => Asgi("Starlite"),
        ("quart", "Quart") | ("quart_trio", "QuartTrio") => Asgi("Quart"),
        ("sanic", "Sanic") => Asgi("Sanic"),
        ("blacksheep", "Application") => Asgi("BlackSheep"),
        ("esmerald", "Esmerald") => Asgi("Esmerald"),
        ("xpresso", "App") => Asgi("Xpresso"),
        ("fasthtml", "fast_app" | "FastHTML" | "FastHTMLWithLiveReload") => Asgi("FastHTML"),
        ("responder", "API") => Asgi("Responder"),
        ("muffin", "Application") => Asgi("Muffin"),
        ("emmett", "App") => Asgi("Emmett"),
        ("mcp" | "fastmcp", "http_app" | "streamable_http_app" | "sse_app") => Asgi("MCP"),
        ("datasette", "app") => Asgi("Datasette"),
        ("socketio" | "engineio", "ASGIApp") => Asgi("Socket.IO"),
        ("socketio" | "engineio", "WSGIApp" | "Middleware") => Wsgi("Socket.IO"),
        ("gradio", "mount_gradio_app") => Asgi("FastAPI"),
        ("gradio", "Interface" | "Blocks" | "ChatInterface" | "TabbedInterface") => Own("Gradio"),
        ("aiohttp", "Application") => Own("aiohttp"),
        ("tornado", "Application" | "HTTPServer") => Own("Tornado"),
        ("robyn", "Robyn") => Own("Robyn"),
        ("vibora", "Vibora") => Own("Vibora"),
        ("japronto", "Application") => Own("Japronto"),
        ("microdot", "Microdot") => Own("Microdot"),
        ("twisted", "Site") => Own("Twisted"),
        ("http" | "socketserver", "HTTPServer" | "ThreadingHTTPServer" | "TCPServer") => {
            Own("http.server")
        }
        ("wsgiref", "make_server") => Decoy("a development server"),
        ("celery", "Celery") => Decoy("Celery"),
        ("huey", _) if name.ends_with("Huey") => Decoy("Huey"),
        ("dramatiq", _) => Decoy("Dramatiq"),
        ("rq", _) => Decoy("RQ"),
        ("faust", "App") => Decoy("Faust"),
        ("arq", _) => Decoy("arq"),
        ("typer", "Typer") => Decoy("Typer"),
        ("click", _) | ("cyclopts", "App") => Decoy("a command line"),
        ("tkinter" | "Tkinter" | "customtkinter", _) => Decoy("a tkinter window"),
        ("PyQt5" | "PyQt6" | "PySide2" | "PySide6", _) => Decoy("a Qt window"),
        ("kivy", _) => Decoy("a Kivy window"),
        ("wx", "App") => Decoy("a wx window"),
        ("flask", "Blueprint") => Decoy("a blueprint"),
        ("sanic" | "quart", "Blueprint") => Decoy("a blueprint"),
        ("fastapi", "APIRouter") => Decoy("a router"),
        ("flask_script", "Manager") => Decoy("Flask-Script"),
        ("slack_bolt", "App" | "AsyncApp") => Decoy("Slack Bolt"),
        ("firebase_admin", "initialize_app") => Decoy("Firebase"),
        ("textual", "App") => Decoy("a terminal program"),
        ("pyrogram" | "telegram" | "aiogram" | "telebot" | "discord", _) => Decoy("a chat bot"),
        _ => return None,
    })
}
