"""Whatever arrives on any topic and whatever fails around it, driftflow goes on or ends with a sentence."""
