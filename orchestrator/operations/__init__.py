"""What people ask for, one module each: a request in, a result out, events by callback.

Every face (the command line, a page, a queue) calls these. They raise :class:`orchestrator.errors.OrchestratorError`
for what people can do something about; they never print, ask or exit.
"""
