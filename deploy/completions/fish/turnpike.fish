# fish completion for turnpike
complete -c turnpike -f
complete -c turnpike -n __fish_use_subcommand -a 'serve check user secret credentials oauth-token version help'
complete -c turnpike -n '__fish_seen_subcommand_from user' -a 'add list remove passwd'
complete -c turnpike -n '__fish_seen_subcommand_from secret' -a 'add list remove'
complete -c turnpike -n '__fish_seen_subcommand_from help' -a configuration
complete -c turnpike -l config -r -F -d 'the configuration'
complete -c turnpike -l set -x -d 'override a key: KEY=VALUE'
complete -c turnpike -l realm -x -d 'instead of the configured one'
complete -c turnpike -l ttl -x -d 'seconds that it is good for'
complete -c turnpike -l user -x -d 'whom credentials are for'
complete -c turnpike -l kid -x -d 'the key of a token'
complete -c turnpike -l password-stdin -d 'read the password from standard input'
complete -c turnpike -l secret-stdin -d 'read the secret from standard input'
complete -c turnpike -l help -d 'help'
