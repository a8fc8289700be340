"""Control: what watches over the data path and decides which backends it may use.

`health` asks the backends, `ejection` watches live requests, `eligibility` joins both with what operators
say.
"""
