"""Seeds from seeds: randomness as a function of (seed, epoch, position), never of what ran before."""

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def mix(*numbers: int) -> int:
    """Return a 63-bit seed that depends on every one of the numbers, each between 0 and 2**64.

    SplitMix64's finalizer over each number in turn (Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195), so
    that neighbouring epochs and batches get unrelated streams.
    """
    state = 0
    for number in numbers:
        state = (state + number + _GOLDEN) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1
