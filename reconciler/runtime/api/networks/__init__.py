"""The ways in for networks as they are: the operator's own callbacks, The Things Stack, ChirpStack.

    operator           the callbacks of the operator's cloud → message
    the_things_stack   webhooks of The Things Stack, version 3 → receptions of a message
    chirpstack         the HTTP integration of ChirpStack, version 4 → receptions of a message
    lorawan            what the last two have in common
    doors              the doors below `/v1/in/`

But for the doors these are pure: a parsed request → what `codec.message.read_message` reads, or the reason why not.
"""
