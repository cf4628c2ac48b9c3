"""How fast a distillation trains, against its student alone and against other libraries."""
