"""The commands of `daskgmm`, each in the file of its name: it is imported when the command is run."""
