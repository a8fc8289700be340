"""Control: what watches over the data path and decides which backends it may use.

`health` asks the backends, `ejection` watches live requests, `eligibility` joins both with what operators
say. `child` keeps a process running, `learner_process` is one of them; `sockets` are what the router listens on.
"""
