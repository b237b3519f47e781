"""What a step costs on this machine, beside what memory allows and beside other libraries: ``lrcore bench``.

``cases`` says what is measured, ``implementations`` who takes part, ``work`` what goes on around a step, ``worker``
runs one implementation in a process of its own, ``race`` gives the workers their turns, ``report`` prints and saves,
``plot`` draws. Nothing here is imported by ``import lrcore``.
"""
