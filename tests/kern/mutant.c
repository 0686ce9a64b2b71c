/* mutant.c - a file of src/kern in the copy of make_mutants.py, if there is one. */
#include "mutant.h"
#include MUTANT_FILE
