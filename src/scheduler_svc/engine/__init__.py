"""The tick loop: claim, dispatch, settle and upkeep of one replica."""
