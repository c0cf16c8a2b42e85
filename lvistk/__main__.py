from lvistk.cli import main

main()
