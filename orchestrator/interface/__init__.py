"""The tables behind the Interface, in the history's database. They control nothing: losing them loses accounts."""
