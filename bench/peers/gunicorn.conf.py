bind = "unix:{run}/app.sock"
chdir = "{app}"
wsgi_app = "app:application"
worker_class = "sync"
workers = 3
