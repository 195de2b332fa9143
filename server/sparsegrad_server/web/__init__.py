"""Pages for people: made on the server, readable with scripts off.

How to write one:

1. A module a resource, with `router = page_router("read", prefix="/things")` (`visitors`). Every
   route of it needs a session of that scope, and every POST of it comes from our own pages.
2. A handler asks for `Viewer`, `Editor` or `Administrator` (the `Principal`, with the token's
   rights), `CatalogOf` and whatever else the interface's routes ask for (`api.dependencies`),
   and, for a POST, `FormOf`. It calls what the interface calls; no logic of its own.
3. It answers `page(request, "things.html", things=…)` (`rendering`); after a POST, a
   `RedirectResponse(…, 303)`. A form with a bad value is shown again with `status=422`, its
   values, and the message at the field (`macros.html`: `field`).
4. The template extends `layout.html` and fills the blocks `title`, `heading`, `content`, and, for
   scripts, `scripts`: `<script type="module" src="{{ asset('thing.js') }}">`. Nothing is inline,
   neither script nor `style=`; data for scripts comes as JSON from a page route of its own, or
   stands in `<script type="application/json" id="…">{{ value|tojson }}</script>`.
5. Scripts live in `static/`, one purpose each; `charts.js` draws lines, `copy.js` copies.
6. Errors are raised as everywhere (`NotFound(…)`): a browser gets them as a page. Who is not
   signed in is sent to do so; a script (`Accept: application/json`) gets a 401.
7. Include the router in `routes.py`, and put the link into `navigation.py`.
"""
