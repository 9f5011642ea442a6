SELECT term FROM checkers WHERE term = $1
