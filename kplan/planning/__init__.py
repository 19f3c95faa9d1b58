"""From a stack and live state to a plan: compare, check, assess, undo, order."""
